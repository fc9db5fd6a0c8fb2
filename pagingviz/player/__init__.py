"""The player: answers what a board in the browser asks with frames of a simulation. No Streamlit."""
