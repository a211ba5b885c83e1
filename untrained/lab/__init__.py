"""The lab: the theory of untrained networks as code that runs, and the Jacobian it stands on."""
