"""What a person looks at: figures and widgets."""
