"""Ünïcode und Zahlen

A goal agent, generated: it carries out plan.json with sdk `script`. README.md says what that needs.
To run it: python main.py
"""

import sys

if not sys.flags.safe_path:  # no file that a step writes here may shadow a module
    del sys.path[0]

try:
    from haymaker_goal_agent.automode import main
except ImportError as error:
    sys.exit(f"this agent needs the package agent-haymaker, which this Python has not: {error}")

if __name__ == "__main__":
    sys.exit(main())
