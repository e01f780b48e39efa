"""What the tests stand on: a server, a network that fails, one face for both clients."""
