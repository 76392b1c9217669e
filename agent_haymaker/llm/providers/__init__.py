"""One module for each provider; it alone imports the provider's SDK, and is itself imported by `create_llm_client`."""
