"""Moving between stores: copies, comparisons, and a second store that is read beside the first."""
