"""What the containers of Jobs do: a function for each task, answering in one JSON document."""
