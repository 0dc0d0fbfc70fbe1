"""Loading of programs: from YAML to a validated `VehicleProgram`, with file and line in every error."""
