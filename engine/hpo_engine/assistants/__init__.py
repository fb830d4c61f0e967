"""Studies for assistants: tools by the Model Context Protocol, over standard input and output."""
