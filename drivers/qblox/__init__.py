"""QPUs behind a Qblox cluster, or its dummy: configuration, schedules, execution, results."""
