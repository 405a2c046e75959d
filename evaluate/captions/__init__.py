"""The official caption metrics: BLEU, ROUGE-L and CIDEr-D."""
