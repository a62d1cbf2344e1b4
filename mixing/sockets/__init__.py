"""i-PI's protocol from the server's side: who may connect, who computes what."""
