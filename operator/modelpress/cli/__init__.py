"""What people and pods call: `modelpress compress`, `modelpress operator`, `modelpress task` and their like."""
