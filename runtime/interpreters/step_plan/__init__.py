"""A step as loops over memory: what code in another language, and the plan of its memory, are made of."""
