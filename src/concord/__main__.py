"""``python -m concord``, the same as the command ``concord``."""

from concord.cli import main

if __name__ == "__main__":
    main()
