"""Who may ask: accounts with passwords or an OpenID provider, their sign-ins and tokens, and what happened to them."""
