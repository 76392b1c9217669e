"""The language of goal prompts: `read_goal` and what it gives stand in `reading`; see there."""
