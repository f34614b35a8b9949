"""`python -m services` is `planner-webhooks`."""

from services.cli.main import main

if __name__ == "__main__":
    main()
