"""The shell: everything that touches a clock, a socket, a process or a disk. `program.py` shows it on one page."""
