"""What happens inside the model: the pictures of the papers, and their open questions answered on the demo model."""
