"""Files as Tableau reads them: extracts, data sources and workbooks."""
