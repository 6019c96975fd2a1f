"""How each kind of action is taken apart, one module a kind; what is found in the parts is the detectors' business."""
