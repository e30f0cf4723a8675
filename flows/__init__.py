"""The flows. Import each from its module: ``qpuflow.flows.run_circuits:run_circuits``."""
