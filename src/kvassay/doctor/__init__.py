"""What is wrong with a set-up: where facts come from, and the rules that read them, one function each."""
