"""Ünïcode und Zahlen

A goal agent, generated. It carries out plan.json with sdk `script`; run it in this folder: python main.py
"""

import sys

try:
    from haymaker_goal_agent.automode import main
except ImportError as error:
    sys.exit(f"this agent needs the package agent-haymaker, which this Python has not: {error}")

if __name__ == "__main__":
    sys.exit(main())
