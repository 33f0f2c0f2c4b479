"""What runs the parts: commands, the embedded federation and the demonstration."""
