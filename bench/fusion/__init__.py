"""The benchmark of fusion methods: scenes, protocols, methods, tables."""
