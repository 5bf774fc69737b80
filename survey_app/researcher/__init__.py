"""The researcher's pages: label crops, see how well people agree, review captions.

    python -m survey_app.researcher label

One small server on this machine. Pictures and decisions go over routes of their own beside Streamlit's pages, so that a
key press costs one short request and the next picture is there already.
"""
