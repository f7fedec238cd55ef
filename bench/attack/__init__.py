"""Attacks on the command line: kills, full disks, lost workers, rivals, damaged inputs."""
