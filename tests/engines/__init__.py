"""The same actions and the same block on engines that run them on more than one machine, against their real servers."""
