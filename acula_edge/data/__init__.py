"""Recordings, tasks, splits, reports, leak audit and the simulator: everything before the teacher."""
