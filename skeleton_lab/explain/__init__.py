"""Which joints and moments a decision rests on."""
