"""What Prefect runs: thin flows over the steps; nothing else knows Prefect."""
