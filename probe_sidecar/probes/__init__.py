"""How one probe is made and judged; the only room that talks to the addresses. Knows no CR and no threshold."""
