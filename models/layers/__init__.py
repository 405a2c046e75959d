"""The layers that heads are built from: question encoders, attention, fusion, standardisation."""
