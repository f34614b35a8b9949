"""`python -m services` is `planner-webhooks`."""

from services.cli.app import main

if __name__ == "__main__":
    main()
