"""Models and streams: stepping with explicit state, alone, in lockstep and in fleets."""
