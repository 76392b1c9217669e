"""Workload packages in the style of published ones. They import public names only, as strangers do."""
