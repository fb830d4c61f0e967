"""Study files in each dialect, read into a StudySpec and written from one."""
