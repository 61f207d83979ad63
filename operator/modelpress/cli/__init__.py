"""What people and pods call: `modelpress operator`, `modelpress agent`, `modelpress task`."""
