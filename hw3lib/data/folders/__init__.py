"""What a category's folders hold, what they are called and how they are laid out."""
