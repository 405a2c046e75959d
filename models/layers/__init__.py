"""What heads are built from: encoders of questions, attention, fusion, standardisation."""
