"""What runs inside of i-PI, and what i-PI itself says of an input."""
