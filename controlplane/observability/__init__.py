"""What Serinus tells of itself and of the traffic that passes through it: numbers, log lines, traces.

Nothing here decides anything, and nothing that decides waits for anything here.
"""
