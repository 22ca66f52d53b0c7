"""The operator: policies become what each node shall do."""
