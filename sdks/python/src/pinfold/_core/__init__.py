"""What the two clients share: everything but input and output.

Knows requests and answers as data, and nothing of sockets, tasks or threads.
"""
