"""The command line. Each command has its own file and is imported only when it is called."""
