"""What is trained: answers to questions, or captions, each with its loss and its score."""
