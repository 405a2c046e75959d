"""What ``import frostgrid`` offers to Python programs, beyond opening and making feature files."""
