"""Django's migrations of the app. Each applies one of steve's own."""
