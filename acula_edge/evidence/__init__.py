"""What every report shares: cohorts, intervals, differences, tables, charts, pages."""
