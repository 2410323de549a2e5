"""GitHub, GitLab, Gitea and Forgejo behind one port: pull requests, commit statuses and comments."""
