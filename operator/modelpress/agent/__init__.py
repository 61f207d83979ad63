"""What runs beside Triton in a serving pod: it brings the models in, proves them, says when they answer, and drains.

Layers: settings, key, verification and envoy are pure or nearly so; fetching, versions, holding, draining and server
do the work; running puts them together.
"""
