"""What finished runs look like to their readers: tables, comparisons, reports."""
