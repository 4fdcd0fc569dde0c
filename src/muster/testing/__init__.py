"""What is shipped to test with: faults at chosen moments, stand-ins for agents, a demo project, a clock to move."""
